"""Does the realism reward bring a calibrated user nearer to people?"""
