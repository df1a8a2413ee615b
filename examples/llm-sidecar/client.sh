#!/bin/sh
# Asks the chat API with curl: plain, streaming, and with a wrong key.
set -eu
url=http://127.0.0.1:8080/v1/chat

echo "plain:"
curl -sS "$url" -H "X-API-Key: $API_KEY" -H 'Content-Type: application/json' \
  -d '{"message": "今天天气怎么样？"}'

printf '\nstream:\n'
curl -sSN "$url" -H "Authorization: Bearer $API_KEY" -H 'Content-Type: application/json' \
  -d '{"message": "今天天气怎么样？", "stream": true}'

echo "wrong key:"
curl -sS -w '\n' "$url" -H 'X-API-Key: wrong' -H 'Content-Type: application/json' \
  -d '{"message": "今天天气怎么样？"}'
