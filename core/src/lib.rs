//! Long jobs from a function that sleeps: the trait, the words and the errors.
