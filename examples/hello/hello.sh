#!/bin/sh
cat /usr/share/hello.txt note.txt
