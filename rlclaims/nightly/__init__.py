"""Evidence accumulated over the sessions of --claims-nightly."""
