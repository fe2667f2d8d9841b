"""Every op in numpy: the executable specification, and the oracle of the tests."""
