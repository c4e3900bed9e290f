"""Who may do what: signatures of sites, bearer tokens with roles, certificates, and the audit log."""
