/** @module Certificates byte by byte, as FORMAT §8 has them, and wrong ones: a DER encoder for vectors and no more. */
import { concatBytes, copyBytes, fromHex, utf8Encode } from '../bytes.ts'
import { SVID_EXTENSION_OID } from '../svid-extension.ts'
import { seeded, type VectorKey } from './generate-keys.ts'

/** What a certificate says. `null` leaves the part out. */
export interface CertificateDraft {
  readonly uri: string
  readonly spki: Uint8Array
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** The DER Name of the subject; empty for an agent. */
  readonly subject: Uint8Array
  readonly issuer: Uint8Array
  readonly issuerKey: VectorKey
  /** What names the key of the issuer. */
  readonly issuerSpki: Uint8Array
  readonly isAuthority: boolean
  readonly extendedKeyUsage: boolean
  readonly subjectKeyId: boolean
  /** The value of the extension of FORMAT §8.2. */
  readonly delegation: Uint8Array | null
  readonly delegationCritical: boolean
}

const ECDSA_SHA256 = fromHex('300a06082a8648ce3d040302')
const NONE = new Uint8Array()

/** A DER element. */
export function tlv(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...parts)
  const { length } = content
  const long = length < 0x100 ? [0x81, length] : [0x82, Math.floor(length / 256), length % 256]
  return concatBytes(Uint8Array.from([tag, ...(length < 0x80 ? [length] : long)]), content)
}

/** A Name of one commonName. */
export function nameOf(text: string): Uint8Array {
  const attribute = tlv(0x30, fromHex('0603550403'), tlv(0x0c, utf8Encode(text)))
  return tlv(0x30, tlv(0x31, attribute))
}

/** Writes and signs a certificate. */
export function writeCertificate(draft: CertificateDraft): Uint8Array {
  const { uri, spki } = draft
  const serial = copyBytes(seeded(`serial ${uri} ${draft.notAfterMs}`), 0, 16)
  serial[0] = 1
  const tbs = tlv(
    0x30,
    fromHex('a003020102'),
    tlv(0x02, serial),
    ECDSA_SHA256,
    draft.issuer,
    tlv(0x30, utcTime(draft.notBeforeMs), utcTime(draft.notAfterMs)),
    draft.subject,
    spki,
    tlv(0xa3, tlv(0x30, ...extensions(draft))),
  )
  const signature = draft.issuerKey.sign(tbs)
  const numbers = [signature.subarray(0, 32), signature.subarray(32)].map(unsigned)
  const bits = tlv(0x03, Uint8Array.of(0), tlv(0x30, ...numbers))
  return tlv(0x30, tbs, ECDSA_SHA256, bits)
}

function extensions(draft: CertificateDraft): readonly Uint8Array[] {
  const { isAuthority, spki, delegation } = draft
  const san = tlv(0x30, tlv(0x86, utf8Encode(draft.uri)))
  const purposes = fromHex('06082b0601050507030106082b06010505070302')
  const parts = [
    extension(fromHex('0603551d11'), san, !isAuthority),
    extension(fromHex('0603551d13'), tlv(0x30, isAuthority ? fromHex('0101ff') : NONE), true),
    extension(fromHex('0603551d0f'), fromHex(isAuthority ? '03020106' : '03020780'), true),
  ]
  if (!isAuthority && draft.extendedKeyUsage) {
    parts.push(extension(fromHex('0603551d25'), tlv(0x30, purposes), false))
  }
  if (draft.subjectKeyId) {
    parts.push(extension(fromHex('0603551d0e'), tlv(0x04, skiOf(spki)), false))
  }
  const issuerId = tlv(0x30, tlv(0x80, skiOf(draft.issuerSpki)))
  parts.push(extension(fromHex('0603551d23'), issuerId, false))
  if (delegation !== null) {
    parts.push(extension(oid(SVID_EXTENSION_OID), delegation, draft.delegationCritical))
  }
  return parts
}

function extension(id: Uint8Array, value: Uint8Array, critical: boolean): Uint8Array {
  return tlv(0x30, id, critical ? fromHex('0101ff') : NONE, tlv(0x04, value))
}

function skiOf(spki: Uint8Array): Uint8Array {
  return spki.subarray(-20)
}

/** An object identifier (X.690 §8.19). */
function oid(text: string): Uint8Array {
  const [first = 0, second = 0, ...arcs] = text.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const arc of arcs) {
    const digits = [arc % 128]
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) {
      digits.unshift((rest % 128) + 128)
    }
    bytes.push(...digits)
  }
  return tlv(0x06, Uint8Array.from(bytes))
}

function unsigned(number: Uint8Array): Uint8Array {
  const start = number.findIndex((byte) => byte !== 0)
  const bytes = number.subarray(start)
  return tlv(0x02, (bytes[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : NONE, bytes)
}

function utcTime(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/[-:T]/g, '').slice(2, 14)
  return tlv(0x17, utf8Encode(`${digits}Z`))
}
