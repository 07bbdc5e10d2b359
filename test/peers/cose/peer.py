"""Two implementations of COSE that share nothing with ours, driven by lines of JSON: scitt-cose and pycose.

A line is {"peer", "do": "verify", "statement", "key"} or {"peer", "do": "sign", "alg", "key", "kid", "typ", "claims",
"seq", "payload", "unprotected"}; bytes are hex, keys are PEM. Each line is answered with one.
"""
import json
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pycose.algorithms import EdDSA, Es256
from pycose.headers import KID, Algorithm
from pycose.keys import EC2Key, OKPKey
from pycose.keys.curves import P256, Ed25519
from pycose.messages import CoseMessage, Sign1Message
from scitt_cose import parse_signed_statement, sign_sign1

KID_LABEL, CWT_CLAIMS, TYP = 4, 15, 16
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def claims_of(asked):
    claims = {int(label): value for label, value in asked["claims"].items()}
    return {**claims, 7: claims[7].encode()}


def rest_of(asked):
    rest = {CWT_CLAIMS: claims_of(asked), TYP: asked["typ"]}
    return {**rest, "seq": asked["seq"]} if "seq" in asked else rest


def scitt_sign(asked):
    # The label of the algorithm stands first, where its encoding sorts; the library sets its value.
    protected = {1: None, KID_LABEL: bytes.fromhex(asked["kid"]), **rest_of(asked)}
    unprotected = {4: b"not covered"} if asked["unprotected"] else {}
    payload = bytes.fromhex(asked["payload"])
    key = asked["key"]
    return sign_sign1(
        payload, alg=asked["alg"], private_key_pem=key, protected=protected, unprotected=unprotected
    )


def scitt_verify(asked):
    found = parse_signed_statement(bytes.fromhex(asked["statement"]), public_key_pem=asked["key"])
    if found["signature_verified"] is not True:
        return {"verified": False}
    claims = {str(label): value for label, value in found["claims"].items()}
    claims["7"] = claims["7"].decode()
    return {"verified": True, "alg": found["alg"], "claims": claims, "payload": found["payload"].hex()}


def private_key(pem):
    key = serialization.load_pem_private_key(pem.encode(), None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        numbers = key.private_numbers()
        public = numbers.public_numbers
        d, x, y = (n.to_bytes(32, "big") for n in (numbers.private_value, public.x, public.y))
        return EC2Key(crv=P256, x=x, y=y, d=d)
    return OKPKey(crv=Ed25519, x=key.public_key().public_bytes(*RAW), d=key.private_bytes_raw())


def public_key(pem):
    key = serialization.load_pem_public_key(pem.encode())
    if isinstance(key, ec.EllipticCurvePublicKey):
        numbers = key.public_numbers()
        return EC2Key(crv=P256, x=numbers.x.to_bytes(32, "big"), y=numbers.y.to_bytes(32, "big"))
    return OKPKey(crv=Ed25519, x=key.public_bytes(*RAW))


def pycose_sign(asked):
    alg = Es256 if asked["alg"] == "ES256" else EdDSA
    protected = {Algorithm: alg, KID: bytes.fromhex(asked["kid"]), **rest_of(asked)}
    unprotected = {KID: b"not covered"} if asked["unprotected"] else {}
    message = Sign1Message(
        phdr=protected, uhdr=unprotected, payload=bytes.fromhex(asked["payload"])
    )
    message.key = private_key(asked["key"])
    return message.encode()


def pycose_verify(asked):
    message = CoseMessage.decode(bytes.fromhex(asked["statement"]))
    message.key = public_key(asked["key"])
    if not message.verify_signature():
        return {"verified": False}
    claims = {str(label): value for label, value in message.phdr[CWT_CLAIMS].items()}
    claims["7"] = claims["7"].decode()
    alg = {"EDDSA": "EdDSA"}.get(message.phdr[Algorithm].fullname, message.phdr[Algorithm].fullname)
    return {"verified": True, "alg": alg, "claims": claims, "payload": message.payload.hex()}


DOES = {
    ("scitt-cose", "sign"): lambda asked: {"statement": scitt_sign(asked).hex()},
    ("scitt-cose", "verify"): scitt_verify,
    ("pycose", "sign"): lambda asked: {"statement": pycose_sign(asked).hex()},
    ("pycose", "verify"): pycose_verify,
}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = DOES[asked["peer"], asked["do"]](asked)
    except Exception as error:  # a statement that it does not read is refused, and says how
        answer = {"verified": False, "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
