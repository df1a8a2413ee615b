//! What of OpenAI's and Anthropic's APIs the clients ask for: a completion, whole or word by word.

use crate::support::{Exchange, Origin, Signal};

/// What the model says.
pub(super) const WORDS: [&str; 3] = ["one", "two", "three"];

/// A provider that says a word of a stream at each signal.
pub(super) fn provider(next: Signal) -> Origin {
    Origin::scripted(move |exchange| {
        let body = String::from_utf8_lossy(&exchange.read_body()).into_owned();
        let streams = body.replace(' ', "").contains("\"stream\":true");
        match (exchange.request.second_word(), streams) {
            ("/v1/chat/completions", false) => exchange.reply_json(&openai(&WORDS.join(" "))),
            ("/v1/chat/completions", true) => {
                exchange.stream(&[], &next, openai_event, &["data: [DONE]\n\n"]);
            }
            ("/v1/messages", false) => exchange.reply_json(&anthropic(&WORDS.join(" "))),
            ("/v1/messages", true) => {
                exchange.stream(&MESSAGE_BEGINS, &next, anthropic_event, &MESSAGE_ENDS);
            }
            _ => exchange.reply(404, b"{}"),
        }
    })
}

impl Exchange {
    fn reply_json(&mut self, body: &str) {
        let length = body.len();
        self.write(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }

    /// Sends events: those that begin the stream, one for each word when it is asked for, and
    /// those that end it.
    fn stream(&mut self, first: &[&str], next: &Signal, event: fn(&str) -> String, last: &[&str]) {
        self.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
        self.write("Transfer-Encoding: chunked\r\n\r\n");
        for event in first {
            self.chunk(event.as_bytes());
        }
        for word in WORDS {
            next.wait();
            self.chunk(event(word).as_bytes());
        }
        for event in last {
            self.chunk(event.as_bytes());
        }
        self.write("0\r\n\r\n");
    }
}

fn openai(text: &str) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion","created":0,"model":"fake","choices":[{{"index":0,"finish_reason":"stop","message":{{"role":"assistant","content":"{text}"}}}}]}}"#
    )
}

fn openai_event(word: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"fake\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}}}}]}}\n\n"
    )
}

fn anthropic(text: &str) -> String {
    format!(
        r#"{{"id":"m","type":"message","role":"assistant","model":"fake","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":1,"output_tokens":1}}}}"#
    )
}

const MESSAGE_BEGINS: [&str; 2] = [
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"fake\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
];

fn anthropic_event(word: &str) -> String {
    format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{word}\"}}}}\n\n"
    )
}

const MESSAGE_ENDS: [&str; 3] = [
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":3}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
];
