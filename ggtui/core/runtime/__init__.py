"""What runs graphs: the devices, and the records that runs leave."""
