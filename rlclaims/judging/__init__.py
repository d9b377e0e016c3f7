"""Claims, the runs they are about, and the evidence that judges them."""
