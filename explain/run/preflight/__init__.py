"""Before a run: is this the network that you think it is, and are its images read as it was trained?"""
