"""The participant's window: what is drawn, what keys and clicks do. All of pygame's windows are here."""
