"""Language models behind one batched protocol."""
