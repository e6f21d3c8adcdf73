"""The client suite of versitygw against bare storage and through the gateway."""
