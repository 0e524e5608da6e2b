"""Does a user calibrated on people's logs predict people better than a prompt does?"""
