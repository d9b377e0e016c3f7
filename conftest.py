"""Fixtures for every test below; the plugin itself comes with the installed package."""

pytest_plugins = ["pytester"]
