"""How near does calibration bring a simulator to a population whose likelihood is known exactly?"""
