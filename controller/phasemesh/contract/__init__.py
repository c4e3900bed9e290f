"""The vocabulary that every room of phasemesh shares; declared once, hashed, the hash carried everywhere."""
