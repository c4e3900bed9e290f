"""The look-up of a situation before the policy is trusted."""
