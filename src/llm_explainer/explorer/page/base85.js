// Text as the bytes that Python made it of (base85.py): five characters for every four of them.

const ALPHABET =
  "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%()*+,-./:;=?@[]^_{}";

export function fromBase85(text) {
  const digits = new Uint8Array(128);
  for (let i = 0; i < 85; i++) digits[ALPHABET.charCodeAt(i)] = i;
  const nWords = Math.ceil(text.length / 5);
  const missing = 5 * nWords - text.length;
  const whole = text + ALPHABET[84].repeat(missing); // the largest digit: rounds up to what was
  const view = new DataView(new ArrayBuffer(4 * nWords));
  for (let word = 0, at = 0; word < nWords; word++) {
    let value = 0;
    for (const end = at + 5; at < end; at++) value = 85 * value + digits[whole.charCodeAt(at)];
    view.setUint32(4 * word, value);
  }
  return new Uint8Array(view.buffer, 0, 4 * nWords - missing);
}
