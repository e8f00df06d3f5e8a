"""What third-party.py is made of: the parts of a program, their licences and texts, and the files about them."""
