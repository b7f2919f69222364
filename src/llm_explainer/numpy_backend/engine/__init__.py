"""What training takes beside the model: a step, memory, the device, other processes."""
