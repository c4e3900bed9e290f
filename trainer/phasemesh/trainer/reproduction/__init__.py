"""The experiments of the papers, repeated: trials that can be gone on with, claims, and one page a paper."""
