"""Runs the real Lambda program without Lambda: an emulator of the runtime API, the events of AWS, and a bridge from
HTTP to those events for third-party clients."""
