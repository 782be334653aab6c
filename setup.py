"""Which packages a wheel has: those of tokenviz/, and experiments/ with the sample texts as `tokenviz.shipped`.

Everything else is in pyproject.toml, where packages can be either found or listed, but not found and one more added.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["tokenviz*"]), "tokenviz.shipped"],
    package_dir={"tokenviz.shipped": "experiments"},
)
