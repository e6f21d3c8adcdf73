"""The cases of clients.py."""
