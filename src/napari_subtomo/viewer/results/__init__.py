"""What the result views of the docks show, as numbers and grey values, without Qt."""
