"""Lets tests in the folders below import the builders beside this file: pytest puts its folder on the path."""
