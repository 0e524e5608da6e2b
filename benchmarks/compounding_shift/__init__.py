"""How fast do small errors per turn compound, exactly in a finite process and estimated in a toy?"""
