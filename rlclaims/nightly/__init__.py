"""Evidence gathered over the sessions of --claims-nightly."""
