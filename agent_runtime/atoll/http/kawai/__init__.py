"""The Kawai dialect: turns whose steps can be watched (seeds-contract.md section 2)."""
