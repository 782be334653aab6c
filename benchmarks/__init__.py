"""Speed, memory and error of tokenviz beside a plain loop and other tools; `experiments/throughput.py` runs it."""
