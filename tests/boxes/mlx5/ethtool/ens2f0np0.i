driver: mlx5_core
version: 5.0-0
firmware-version: 16.35.4506 (MT_0000000011)
expansion-rom-version: 
bus-info: 0000:3b:00.0
