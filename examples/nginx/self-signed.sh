#!/bin/sh
# Makes a certificate for 30 days that nobody vouches for: ./self-signed.sh FOLDER NAME
set -eu
umask 077
mkdir -p "$1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
  -subj "/CN=$2" -addext "subjectAltName=DNS:$2,IP:127.0.0.1" \
  -keyout "$1/privkey.pem" -out "$1/fullchain.pem" 2>/dev/null
