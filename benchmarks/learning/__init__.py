"""Does GRPO learn, and only where there is something to learn?"""
