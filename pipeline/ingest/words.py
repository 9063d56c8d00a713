"""Words that exports use: names of columns, statuses of parcels, kinds of complaints.

Exact words, a few languages; `guesses` also takes what is only like one of them, and says so.
"""

from enum import StrEnum
from typing import Final

from detectors.events import Category, Milestone


class Field(StrEnum):
    """Fields of a scan that a column may hold."""

    PARCEL_ID = "parcel_id"
    CARRIER = "carrier"
    MILESTONE = "milestone"
    OCCURRED_AT = "occurred_at"
    FACILITY = "facility"
    CITY = "city"
    REGION = "region"
    ORDER_ID = "order_id"
    CUSTOMER_ID = "customer_id"
    PROMISED_AT = "promised_at"
    SERVICE_LEVEL = "service_level"


class ComplaintField(StrEnum):
    """Fields of a complaint that a column may hold. Its text is none of them."""

    COMPLAINT_ID = "complaint_id"
    CUSTOMER_ID = "customer_id"
    OCCURRED_AT = "occurred_at"
    REGION = "region"
    CATEGORY = "category"
    ISSUE = "issue"
    ORDER_ID = "order_id"
    PARCEL_ID = "parcel_id"
    CARRIER = "carrier"
    CHANNEL = "channel"
    LANGUAGE = "language"
    SUPPLIER_ID = "supplier_id"


NAMES: Final = {
    Field.PARCEL_ID: "tracking number; tracking no; trackingnumber; tracking id; tracking; parcel; "
    "parcel id; parcel no; shipment id; waybill; awb; barcode; consignment; item id; item; "
    "sendungsnummer; paketnummer; numero de suivi; numero de envio; codigo de rastreio; 运单号; "
    "快递单号; 单号",
    Field.CARRIER: "carrier; courier; slug; shipper; carrier name; dienstleister; transporteur; "
    "transportadora; 承运商; 快递公司",
    Field.MILESTONE: "status; event; state; event code; status code; scan type; activity; "
    "event type; event status; ereignis; statut; evento; estado; milestone; 状态",
    Field.OCCURRED_AT: "event time; timestamp; scan time; scanned at; date time; datetime; "
    "occurred at; event date; event datetime; status date; time; date; zeitpunkt; datum; zeit; "
    "date heure; fecha; changed at; updated at; 时间; 扫描时间",
    Field.FACILITY: "facility; hub; depot; office; station; branch; niederlassung; agence; 网点",
    Field.CITY: "city; location; town; ort; stadt; ville; ciudad; cidade; 城市",
    Field.REGION: "region; state; province; bundesland; provincia; 省份; 地区",
    Field.ORDER_ID: "order; order id; order number; order no; auftrag; bestellnummer; commande; "
    "pedido; 订单号",
    Field.CUSTOMER_ID: "customer; customer id; client; client id; kunde; kundennummer; "
    "cliente; 客户",
    Field.PROMISED_AT: "eta; promised; promised at; promised date; estimated delivery; "
    "expected delivery; liefertermin; 预计送达",
    Field.SERVICE_LEVEL: "service; service level; product; servicio; produkt; leistung; 服务",
}
COMPLAINT_NAMES: Final = {
    ComplaintField.COMPLAINT_ID: "complaint id; complaint no; complaint number; ticket; ticket id; "
    "ticket no; ticket number; case; case id; case number; id; reklamationsnummer; vorgang; "
    "vorgangsnummer; numero de ticket; reclamo; 投诉编号; 工单号; 编号",
    ComplaintField.CUSTOMER_ID: "customer; customer id; customer email; client; client id; "
    "requester; requester id; requester email; email; e mail; user; user id; uid; kunde; "
    "kundennummer; cliente; 客户; 客户编号; 用户",
    ComplaintField.OCCURRED_AT: "created; created at; created time; creation date; opened; "
    "opened at; submitted at; reported at; complained at; written; date; time; timestamp; datum; "
    "erstellt; erstellt am; eingang; fecha; date de creation; 时间; 创建时间; 投诉时间",
    ComplaintField.REGION: "region; province; country; bundesland; provincia; 省份; 地区",
    ComplaintField.CATEGORY: "category; kind; group; department; topic; kategorie; categoria; "
    "categorie; 类别; 分类",
    ComplaintField.ISSUE: "issue; issue type; problem; reason; complaint; complaint type; type; "
    "ticket type; subject; grund; beschwerdegrund; motivo; motif; 问题; 原因; 投诉类型; 投诉原因",
    ComplaintField.ORDER_ID: NAMES[Field.ORDER_ID],
    ComplaintField.PARCEL_ID: NAMES[Field.PARCEL_ID],
    ComplaintField.CARRIER: NAMES[Field.CARRIER],
    ComplaintField.CHANNEL: "channel; via; source; ticket source; kanal; canal; 渠道; 来源",
    ComplaintField.LANGUAGE: "language; locale; sprache; idioma; langue; 语言",
    ComplaintField.SUPPLIER_ID: "supplier; supplier id; vendor; seller; lieferant; proveedor; "
    "供应商; 商家",
}
PHRASES: Final = {
    Milestone.LABEL_CREATED: "label created; shipment information received; announced; order data "
    "transmitted; angekündigt; elektronisch angekündigt; 已下单",
    Milestone.PICKED_UP: "picked up; collected; accepted; received by carrier; abgeholt; "
    "eingeliefert; pris en charge; recogido; 已揽收; 揽收",
    Milestone.DEPARTED: "departed; departed facility; left facility; in transit; on the way; "
    "forwarded; unterwegs; en route; 已发出; 运输中",
    Milestone.ARRIVED: "arrived; arrived at facility; arrival scan; in sorting centre; "
    "processed at facility; im paketzentrum; arrivé; 到达; 已到达",
    Milestone.CUSTOMS_PRESENTED: "customs clearance started; presented to customs; in customs; "
    "zoll",
    Milestone.CUSTOMS_HELD: "held by customs; customs hold; beim zoll festgehalten; 海关扣留",
    Milestone.CUSTOMS_RELEASED: "customs cleared; released by customs; verzollt; 清关完成",
    Milestone.OUT_FOR_DELIVERY: "out for delivery; with courier; with driver; in zustellung; "
    "im zustellfahrzeug; en cours de livraison; en reparto; 派送中; 派件中",
    Milestone.DELIVERY_FAILED: "delivery failed; failed attempt; delivery attempted; not home; "
    "refused; zustellversuch; nicht angetroffen; 派送失败",
    Milestone.AT_PICKUP_POINT: "available for pickup; ready for collection; at pickup point; "
    "in filiale; abholbereit; 待取件",
    Milestone.DELIVERED: "delivered; delivered to recipient; zugestellt; livré; entregado; "
    "entregue; 已签收; 签收",
    Milestone.RETURNING: "return to sender; returning; rücksendung; retoure; 退回中",
    Milestone.RETURNED: "returned; returned to sender; zurück an absender; 已退回",
    Milestone.DAMAGED: "damaged; beschädigt; 破损",
    Milestone.LOST: "lost; verloren; 丢失",
    Milestone.CANCELLED: "cancelled; canceled; storniert; annulé; 已取消",
}
KINDS: Final = {
    Category.PRODUCT: "product; goods; quality; produkt; ware; qualität; producto; produit; 商品; "
    "产品; 质量",
    Category.LOGISTICS: "logistics; delivery; shipping; shipment; transport; lieferung; versand; "
    "zustellung; entrega; livraison; 快递; 物流; 配送",
    Category.SERVICE: "service; support; customer service; kundendienst; servicio; 服务; 客服",
    Category.ORDER: "order; orders; billing; payment; refund; bestellung; rechnung; pedido; "
    "commande; 订单; 退款; 支付",
}
