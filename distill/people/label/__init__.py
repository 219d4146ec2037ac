"""Labels for pictures by pretrained networks: a folder of pictures in, COCO keypoints out."""
