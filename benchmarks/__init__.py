"""What the gate costs and how late it is, against other ways to wait, on a virtual clock."""
