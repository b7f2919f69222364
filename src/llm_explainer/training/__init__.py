"""One trainer for every kind of training, on either backend."""
