"""The policy protocols, their registry, and what is known about a policy."""
