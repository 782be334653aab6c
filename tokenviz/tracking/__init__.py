"""Tracking: runs in MLflow. Tables, files, numbers and names go in; other packages decide what they mean."""
