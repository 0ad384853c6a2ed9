"""`make bench`: packets per wall second, softnet beside a SimPy model of the same topology in the same run."""
