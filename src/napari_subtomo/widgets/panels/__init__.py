"""The docks; none knows another, they meet at the desk."""
