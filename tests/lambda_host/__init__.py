"""Runs the real Lambda program without Lambda: an emulator of its runtime API, the events that AWS would invoke it
with, and a bridge from HTTP to those events for clients that other people wrote."""
