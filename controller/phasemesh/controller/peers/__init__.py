"""Messages between neighbouring agents: transports and the mailbox of the newest per peer."""
