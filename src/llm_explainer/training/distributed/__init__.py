"""Several processes train one model: what they tell each other, and the step that they share."""
