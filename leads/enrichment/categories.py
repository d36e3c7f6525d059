"""The taxonomy: what a business may be called, and the words that tell it in the languages of ``leads.languages``.

Small on purpose: a seller picks from it, a filter counts by it, and a model cannot add to it.
"""

from __future__ import annotations

OTHER = "other"

WORDS: dict[str, str] = {
    "food_and_drink": "restaurant ristorante ristoranti restaurante gasthaus gaststätte wirtshaus brasserie"
        " bistro trattoria osteria pizzeria pizza sushi kebab döner taverna cafe café coffee kaffee kaffebar"
        " kahve kawiarnia kavárna cafeteria cafenea bar pub brewery brauerei winery bakery bäckerei boulangerie"
        " panadería panetteria padaria bakkerij bageri bakeri leipomo piekarnia pekařství pékség brutărie fırın"
        " pastelería patisserie konditorei pasticceria catering takeaway ravintola restauracja restaurace"
        " étterem lokanta ресторан кафе пекарня εστιατόριο מסעדה ร้านอาหาร レストラン 食堂 カフェ 레스토랑 식당"
        " 카페 餐厅 餐廳 咖啡 foodestablishment icecream gelateria",
    "lodging": "hotel hostel motel guesthouse pension albergo posada hostal auberge gîte chambres inn lodging"
        " bedandbreakfast ferienwohnung agriturismo pousada hotell hotelli noclegi penzion szálloda szállás"
        " cazare otel pansiyon гостиница отель готель ξενοδοχείο מלון โรงแรม ホテル 旅館 호텔 酒店 宾馆 resort"
        " campground camping",
    "health": "dentist dental dentistry zahnarzt zahnärzte zahnarztpraxis dentiste dentista tandarts tandläkare"
        " tandlæge tannlege hammaslääkäri dentysta stomatolog zubař fogászat fogorvos dişçi diş doctor physician"
        " arzt ärzte arztpraxis hausarzt médecin médico medico huisarts läkare læge lege lääkäri lekarz lékař"
        " orvos medic doktor clinic klinik clinique clínica clinica kliniek klinika hospital krankenhaus"
        " pharmacy apotheke pharmacie farmacia farmácia apotheek apotek apteekki apteka lékárna gyógyszertár"
        " eczane optician optiker opticien physiotherapy physiotherapie fisioterapia psychologist chiropractor"
        " стоматология клиника аптека врач οδοντίατρος ιατρός רופא ทันตกรรม คลินิก 歯科 医院 薬局 치과 병원 약국"
        " 牙科 medicalclinic medicalbusiness",
    "beauty_and_wellness": "hairdresser hairdressing hair barber salon friseur friseursalon coiffeur coiffure"
        " peluquería parrucchiere cabeleireiro kapper frisör frisør kampaamo fryzjer kadeřnictví fodrász coafor"
        " kuaför beauty kosmetik beautysalon esthétique estética estetica schoonheidssalon spa massage nails"
        " nagelstudio tattoo wellness парикмахерская салон κομμωτήριο מספרה 美容 美容室 미용실 理发 美容院"
        " healthandbeautybusiness",
    "sports_and_fitness": "gym fitness fitnessstudio gimnasio palestra academia sportschool sportclub yoga"
        " pilates crossfit swimming schwimmbad football tennis golf sportverein siłownia posilovna edzőterem"
        " spor фитнес спортзал γυμναστήριο ジム 헬스 健身 sportsactivitylocation exercisegym",
    "retail": "shop store boutique laden geschäft magasin tienda negozio loja winkel butik butikk kauppa sklep"
        " obchod bolt magazin mağaza supermarket grocery florist blumen fleuriste florería fiorista jeweler"
        " juwelier bijouterie joyería gioielleria bookstore buchhandlung librairie librería libreria furniture"
        " möbel meubles muebles mobili clothing fashion mode moda shoes schuhe toys electronics магазин"
        " κατάστημα חנות ร้านค้า 商店 店舗 가게 商场",
    "automotive": "auto autos car cars automotive garage autohaus autowerkstatt werkstatt kfz concessionnaire"
        " taller officina autofficina oficina autobedrijf bilverkstad bilforhandler autokorjaamo warsztat"
        " autoservis autószerviz autorepair cardealer tyre tire tires reifen pneus carwash motorcycle автосервис"
        " автосалон συνεργείο 自動車 정비 汽车",
    "construction_and_trades": "construction builder builders bau bauunternehmen plumber plumbing klempner"
        " sanitär heizung plombier chauffage fontanero idraulico encanador canalizador loodgieter rörmokare vvs"
        " blikkenslager putkimies hydraulik instalatér vízvezeték tesisatçı electrician electrical elektriker"
        " elektro électricien electricista elettricista eletricista elektricien sähkö elektryk elektrikář"
        " villanyszerelő elektrikçi roofer roofing dachdecker couvreur painter maler peintre pintor carpenter"
        " tischler schreiner menuisier carpintero falegname timmerman snickare hvac contractor baumarkt"
        " строительство сантехник электрик υδραυλικός אינסטלטור 建設 工務店 건설 建筑"
        " homeandconstructionbusiness generalcontractor locksmith schlüsseldienst serrurier",
    "home_services": "cleaning reinigung gebäudereinigung nettoyage limpieza pulizie limpeza schoonmaak städning"
        " rengøring rengjøring siivous sprzątanie úklid takarítás curățenie temizlik gardener gardening garten"
        " gartenbau jardinier jardinero giardiniere hovenier landscaping movers moving umzug déménagement"
        " mudanzas traslochi pest laundry wäscherei клининг уборка ניקיון 清掃 청소 保洁",
    "real_estate": "realestate realtor immobilien immobilienmakler makler immobilier immobilière inmobiliaria"
        " immobiliare imobiliária imobiliare makelaar fastighetsmäklare ejendomsmægler eiendomsmegler kiinteistö"
        " nieruchomości reality ingatlan emlak недвижимость нерухомість ακίνητα נדל 不動産 부동산 房地产"
        " realestateagent property properties lettings estate",
    "legal": "lawyer lawyers attorney attorneys solicitor solicitors law legal anwalt rechtsanwalt"
        " anwaltskanzlei kanzlei notar avocat avocats notaire abogado abogados avvocato notaio advogado advocaat"
        " advokat asianajaja adwokat radca advokát ügyvéd avukat адвокат юрист δικηγόρος עורך ทนายความ 弁護士"
        " 변호사 律师 legalservice notary",
    "finance_and_insurance": "bank banking finance financial insurance versicherung versicherungen assurance"
        " assurances seguros assicurazioni verzekeringen försäkring forsikring vakuutus ubezpieczenia pojištění"
        " biztosítás asigurări sigorta accountant accounting accountants steuerberater steuerberatung"
        " buchhaltung comptable expertcomptable contable gestoría commercialista contabilidade boekhouder"
        " redovisning revisor regnskap tilitoimisto księgowość účetní könyvelő contabilitate muhasebe tax"
        " бухгалтер страхование банк λογιστής ασφάλειες 保険 税理士 보험 세무 保险 银行 financialservice"
        " insuranceagency accountingservice",
    "education": "school schule école ecole escuela colegio scuola escola skola skole koulu szkoła škola iskola"
        " școală okul university universität université universidad università universidade kindergarten kita"
        " nursery preschool academy akademie tutoring nachhilfe training course kurs fahrschule autoescuela"
        " driving школа детский σχολείο בית ספר โรงเรียน 学校 塾 학교 학원 educationalorganization",
    "it_and_software": "software saas hosting webdesign webdesigner webentwicklung web computer computers"
        " informatik informatique informática informatica itservice itservices systemhaus cybersecurity"
        " developer developers app apps digital cloud data programming oprogramowanie yazılım веб программное"
        " λογισμικό תוכנה ソフトウェア 소프트웨어 软件",
    "marketing_and_media": "marketing advertising werbung werbeagentur agence publicité publicidad pubblicità"
        " publicidade reclame reklam reklama mainostoimisto design designer branding photographer photography"
        " fotograf photographe fotógrafo fotografo film video printing druckerei imprimerie imprenta tipografia"
        " drukkerij seo media реклама фотограф διαφήμιση פרסום 広告 광고 广告",
    "professional_services": "consulting consultant consultants beratung unternehmensberatung conseil"
        " consultoría consulenza consultoria advies konsult konsultti doradztwo poradenství tanácsadás"
        " danışmanlık architect architects architekt architekten architecte arquitecto architetto arquiteto"
        " arkitekt engineering ingenieur ingenieurbüro ingeniería translation übersetzung recruitment staffing"
        " personalvermittlung security консалтинг архитектор αρχιτέκτονας ייעוץ 設計 컨설팅 咨询"
        " professionalservice employmentagency",
    "manufacturing": "manufacturing manufacturer factory fabrik hersteller maschinenbau fabricant fabricante"
        " produttore industria industrie usine fábrica fabbrica fabriek fabrika tillverkning producent výroba"
        " gyártó metal metall steel stahl plastics kunststoff завод производство εργοστάσιο 製造 工場 제조 制造"
        " 工厂",
    "logistics_and_transport": "logistics logistik logistique logística logistica transport transporte trasporti"
        " spedition spediteur shipping freight courier kurier trucking taxi taxis warehouse lager haulage"
        " nakliyat kargo логистика грузоперевозки такси μεταφορές הובלות 運送 物流 물류 택시",
    "agriculture": "farm farms farming bauernhof landwirtschaft ferme agriculture granja agricultura agricola"
        " azienda fazenda boerderij gård gospodarstwo farma mezőgazdaság fermă çiftlik vineyard weingut"
        " gärtnerei ферма αγρόκτημα חווה 農園 농장 农场",
    "energy_and_utilities": "energy energie énergie energía energia energi solar solaranlagen photovoltaik"
        " photovoltaïque fotovoltaico wind gas electricity strom stadtwerke water utility recycling entsorgung"
        " энергия солнечные ενέργεια אנרגיה 太陽光 電力 태양광 能源",
    "arts_and_entertainment": "museum musée museo museu muzeum müze gallery galerie galería galleria theatre"
        " theater théâtre teatro teatr cinema kino cine nightclub club disco casino music musik musique música"
        " musica events event музей театр кино μουσείο מוזיאון 博物館 劇場 박물관 博物馆 entertainmentbusiness",
    "travel_and_tourism": "travel travelagency reisebüro reisen voyages viajes viaggi viagens reisbureau"
        " resebyrå rejsebureau reisebyrå matkatoimisto biuro podróży cestovní utazási turism turismo tourism"
        " tours tour seyahat турагентство туризм ταξίδια נסיעות 旅行 여행 旅行社 touristinformation",
    "pets_and_animals": "veterinary veterinarian vet vets tierarzt tierarztpraxis vétérinaire veterinario"
        " veterinário dierenarts veterinär dyrlege dyrlæge eläinlääkäri weterynarz veterinář állatorvos"
        " veteriner pet pets dog hund petshop animalerie zoohandlung ветеринар κτηνίατρος וטרינר 動物病院"
        " 동물병원 宠物 veterinarycare petstore",
    "public_and_nonprofit": "church kirche église iglesia chiesa igreja kerk kyrka kirke kirkko kościół kostel"
        " templom biserica cami mosque synagogue charity verein stiftung association asociación associazione"
        " associação fundación fondation foundation ngo government gemeinde rathaus mairie ayuntamiento comune"
        " library bibliothek bibliothèque церковь фонд εκκλησία עמותה 教会 교회 教堂 governmentoffice",
}  # fmt: skip
"""A word of six letters and more also tells inside a longer one ("Familienzahnarzt"); a shorter one stands alone."""

CATEGORIES: tuple[str, ...] = (*WORDS, OTHER)
