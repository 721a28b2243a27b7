//! Nothing: the examples are what this package is for, and cargo wants a library beside them.
