//! The readable form: what `explain`, the console and the suspense list show.

use expect_test::expect;
use model::{Body, Record};

use crate::samples;

#[test]
fn every_sample_comes_back_from_json() {
    for (name, record) in samples::all() {
        let text = serde_json::to_string_pretty(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{name}");
    }
}

#[test]
fn rated_call_is_readable() {
    let record = Record { origin: None, body: Body::Rated(Box::new(samples::rated())) };
    expect![[r#"
        {
          "origin": null,
          "body": {
            "type": "rated",
            "value": {
              "cdr": {
                "id": "c70d991f131f4f1a70dd8686f0d993b9",
                "revision": 1,
                "call": "sw1-18b1f2c3d4-4711",
                "leg": 0,
                "sip_call_id": "a84b4c76e66710@pc33.example.com",
                "node": "sw1",
                "tenant": 1,
                "payer": 203,
                "source": {
                  "party": {
                    "party": "subscriber",
                    "subscriber": 1017,
                    "account": 203,
                    "reseller": 12,
                    "uuid": "7f3c2a90-5f0e-4c57-9d0b-2f5f6a1c8e44"
                  },
                  "user": "alice",
                  "domain": "example.com",
                  "cli": "43660555123",
                  "clir": true,
                  "user_out": "43660555123",
                  "ip": "198.51.100.7",
                  "user_agent": "baresip v4.2"
                },
                "destination": {
                  "party": {
                    "party": "trunk",
                    "trunk": 4,
                    "account": 31
                  },
                  "dialed": "004930555123",
                  "domain": "example.com",
                  "user_in": "4930555123",
                  "number": "4930555123",
                  "user_out": "+4930555123",
                  "user_agent": "Carrier GW"
                },
                "call_type": "call",
                "status": "ok",
                "code": 200,
                "cause": "normal",
                "ended_by": "callee",
                "init_at": "2026-03-02T16:59:25.104212Z",
                "start_at": "2026-03-02T16:59:30.250001Z",
                "duration_us": 90417338,
                "pdd_us": 1204551,
                "codec": "PCMA/8000",
                "attempts": [
                  {
                    "attempt": 1,
                    "party": {
                      "party": "trunk",
                      "trunk": 4,
                      "account": 31
                    },
                    "code": 200,
                    "pdd_us": 1204551,
                    "action": "stop"
                  }
                ],
                "config_revision": 88,
                "partial": false,
                "detail": {
                  "reason": "",
                  "refused_by": "",
                  "setup_us": null,
                  "transport": null,
                  "auth": null,
                  "asserted_identity": "",
                  "diversion": "",
                  "foreign_key": ""
                }
              },
              "charges": [
                {
                  "provider": "customer",
                  "direction": "out",
                  "account": 203,
                  "version": 9,
                  "profile": "standard",
                  "fee": 5512,
                  "matched": "49",
                  "zone": "Germany",
                  "zone_detail": "fixed",
                  "currency": "EUR",
                  "cost": "0.035000",
                  "free_seconds": 0,
                  "free_cash": "0.00",
                  "billed_seconds": 120,
                  "onpeak_seconds": 30,
                  "offpeak_seconds": 90,
                  "flat": "0",
                  "rounding": "half_up 6",
                  "pieces": [
                    {
                      "start": "2026-03-02T16:59:30.250001Z",
                      "seconds": 30,
                      "peak": "onpeak",
                      "is_init": true,
                      "rate": "0.04",
                      "per_seconds": 60,
                      "interval_seconds": 30,
                      "price": "0.02"
                    },
                    {
                      "start": "2026-03-02T17:00:00.250001Z",
                      "seconds": 90,
                      "peak": "offpeak",
                      "is_init": false,
                      "rate": "0.01",
                      "per_seconds": 60,
                      "interval_seconds": 30,
                      "price": "0.015"
                    }
                  ],
                  "conversion": null
                }
              ]
            }
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&record).unwrap());
}
