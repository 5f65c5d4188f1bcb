# The proofs; README.md here says of what. They need packages of their own.
.PHONY: proof-packages prove
proof-packages:
	$(Q)tools/install-packages --proofs

prove: proof-packages ## Prove that the rings are safe against any driver (installs Frama-C)
	$(Q)tools/prove
